/* One period of a control loop, as a flight controller's scheduler runs it; nothing here allocates, locks or waits. */
#ifndef CONTROL_LOOP_H
#define CONTROL_LOOP_H

#include <stdint.h>

#include "policy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sensors that are older do not count. */
#define SENSORS_VALID_US 20000u
/* So long the last command is repeated when there is nothing to act on. */
#define HOLD_US 60000u

struct sensors {
    uint64_t timestamp_us;
    float observation[POLICY_OBSERVATION_SIZE];
};

struct actuators {
    uint64_t timestamp_us;
    float control[POLICY_ACTION_SIZE];
};

enum control_mode {
    CONTROL_ACTS,    /* the policy acted */
    CONTROL_HOLDS,   /* the last command once more */
    CONTROL_FAILSAFE /* nothing was written; stays so until control_start */
};

struct control_loop {
    uint64_t acted_us;
    enum control_mode mode;
    uint32_t saturated; /* periods in which an observation was outside the calibrated range */
    float control[POLICY_ACTION_SIZE];
};

/* Before the first period, and after a failsafe once the pilot has said so. */
void control_start(struct control_loop *loop, uint64_t now_us);

/* Writes `actuators` unless the failsafe is on. */
enum control_mode control_step(struct control_loop *loop, const struct sensors *sensors, uint64_t now_us,
                               struct actuators *actuators);

#ifdef __cplusplus
}
#endif
#endif
