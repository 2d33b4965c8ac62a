"""Prints the variables that torch.distributed reads. Edits are visible in the containers at once."""
import os

names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
print(" ".join(f"{name}={os.environ[name]}" for name in names))
