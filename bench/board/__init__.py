"""The leaderboard: one small reviewed file an entry, counts in it, and a static page of which every number follows."""
