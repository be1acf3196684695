"""What the blocking, asyncio and Deferred clients have in common.  Look here for a method of Farm or Boards."""
