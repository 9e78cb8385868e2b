"""Where bursts come from: MQTT, a watched folder, HTTP, a recording, OPC UA, Modbus."""
