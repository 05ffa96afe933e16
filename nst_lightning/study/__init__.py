"""Many runs: sweeps, folders, contact sheets, the report."""
