"""`python -m innercouncil`."""

from innercouncil.cli.main import main

if __name__ == "__main__":
    main()
