"""A discovery as text: report.html and the summary for the terminal; knows nothing of how it was found."""
