"""Persistent Jupyter kernels for AI assistants, over MCP.

Imports nothing: the bridge starts in milliseconds.
"""

__version__ = "0.1.0"
