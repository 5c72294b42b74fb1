"""Train an adapter for a persona.

python scripts/train_lora.py --check-only --persona architect --mode 16GB
python scripts/train_lora.py --persona architect --mode 16GB
python scripts/train_lora.py --base_model qwen2.5:3b --data rows.jsonl --output loras/persona_a --epochs 3 --batch_size 1 --lora_r 16
python scripts/train_lora.py --persona architect --generate-script
"""

from __future__ import annotations

import sys

from innercouncil.cli.main import run
from innercouncil.cli.tune_train import train

if __name__ == "__main__":
    sys.exit(run(train))
