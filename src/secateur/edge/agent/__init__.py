"""The agent: a program that watches machines continuously, survives faults and shows what it sees."""
