"""`sojourn demo`: one page that shows a session live, and a development identity provider to sign in with."""
