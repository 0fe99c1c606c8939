"""One script for each version of the tables; what a script makes never changes after its release."""
