"""System calls that fail on command, in forked children that run command lines."""
