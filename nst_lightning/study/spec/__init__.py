"""What a study declares, and the runs it resolves to."""
