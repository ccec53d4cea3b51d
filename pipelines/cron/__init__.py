"""`skysieve cron`: a `luigi` command that is repeated until all is complete."""
