"""深圳聚点云 (青鸟), whose images come over Socket.IO."""
