"""A model on loopback, whose answers the test gives.

- `turns`: what it is asked and what it says, in nobody's protocol
- `anthropic`, `openai`, `gemini`: the same in three protocols; pure
- `server`: the HTTP server, where the client's request waits for the test's answer
"""
