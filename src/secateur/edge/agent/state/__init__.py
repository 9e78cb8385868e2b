"""What the agent remembers of each machine: baseline, levels, alarms, trends."""
