"""What every HTML page shares: one frame, one stylesheet, one module of charts."""
