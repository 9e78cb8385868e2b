"""Where results go: MQTT, Sparkplug B, a log, a webhook."""
