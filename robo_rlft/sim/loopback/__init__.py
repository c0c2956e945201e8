"""An emulated UR5e controller on this machine's loopback addresses, for clients that speak a UR's real protocols.

It serves RTDE, the dashboard, the script ports and a stage port of our own, and moves a simulated arm in real time.
`python -m robo_rlft.sim.loopback` starts it. It knows the protocols and the physics, nothing of tasks or policies, and
it never leaves 127.0.0.0/8.
"""
