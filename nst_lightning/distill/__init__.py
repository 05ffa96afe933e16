"""How the slim backbone was made, so that it can be made again: wider, or from other weights."""
