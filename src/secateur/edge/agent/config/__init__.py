"""The configuration file of the agent: one YAML file, unknown keys refused."""
