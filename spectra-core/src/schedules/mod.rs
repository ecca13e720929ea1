//! Learning-rate and clip-threshold schedules.
