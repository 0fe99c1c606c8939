"""The OAuth 2 and OpenID Connect client: pure halves that build a request or read an answer, and one orchestrator."""
