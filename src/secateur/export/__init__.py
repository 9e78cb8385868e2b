"""What goes to the device: the ONNX graph, its parity with the checkpoint, and the bundle around both."""
