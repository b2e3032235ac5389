#!/bin/sh
# A program that lies with a scenario; nothing starts it.
exit 0
