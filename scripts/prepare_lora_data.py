"""Make training rows for each persona out of the messages in the workspace.

python scripts/prepare_lora_data.py --mode 16GB
python scripts/prepare_lora_data.py --mode 16GB --llm ollama --llm-model qwen2.5:7b
"""

from __future__ import annotations

import sys

from innercouncil.cli.main import run
from innercouncil.cli.tune_prepare import prepare

if __name__ == "__main__":
    sys.exit(run(prepare))
