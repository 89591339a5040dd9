"""Tests of what test scripts import, against a driver that is made up."""
