"""Bringing a model in from outside: unpack, check, convert, prove. Run as a process of its own, with limits."""
