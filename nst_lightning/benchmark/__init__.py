"""Speed, memory and time to quality, beside a plain loop."""
