"""Cron arithmetic, the rules of a run's life, the claim loop and the runners."""
