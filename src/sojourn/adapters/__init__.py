"""One small file per framework; each translates to and from `sojourn.http` and adds nothing of its own."""
