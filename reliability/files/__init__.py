"""Damaged files by the thousand: each is read rightly or refused by a sentence, in bounded time and memory.

`seeds` makes small valid files, `mutating` and `documents` damage them, `formats` says how a format is read through
camfast and what `parsers` and `stores`, which share no code with it, say of the same bytes; `workers` does it in
processes that may hang, crash or run out of memory; `commands` gives a sample to the command line, and `bombs` holds
files made to unpack to far more than they are.
"""
