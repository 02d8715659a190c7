"""Bad lines, stopped processes, wrong clocks and full disks, under real daemons."""
