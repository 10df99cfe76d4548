"""Runners: Python, HTTP and operator-listed commands, behind one small protocol."""
