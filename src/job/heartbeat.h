// Heartbeat and lease: how often a silent line is tested, when it is given up, when a node gives up its controller.
// Only the rules, for both sides of the wire: conn sends the pings, uplink and lifecycle hold the leases.
//
// A line on which nothing was heard for one heartbeat is tested with a ping, and given up after two. A node without its
// controller ends itself when its lease is over, counted from the controller's last sign of life; the controller gives
// up a node after the same time.
#ifndef JOB_HEARTBEAT_H
#define JOB_HEARTBEAT_H

// Seconds, where neither the job nor the site file says otherwise.
enum { HEARTBEAT_PERIOD = 5, HEARTBEAT_LEASE = 30, HEARTBEAT_LEASE_PERSISTENT = 3600 };

// The lease of an MPI job, which cannot go on without a silent node.
double heartbeat_lease_mpi(double period);

// The period for a lease: as wished, but a new line must have its chance before the lease is over.
double heartbeat_period(double wished, double lease);

// Seconds of silence after which a line is given up.
double heartbeat_silence(double period);

// Seconds until a lease is over, at least 0. heard and now: by the same clock.
double heartbeat_lease_left(double lease, double heard, double now);

#endif
