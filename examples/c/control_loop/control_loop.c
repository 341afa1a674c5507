#include "control_loop.h"

#include <string.h>

void control_start(struct control_loop *loop, uint64_t now_us)
{
    memset(loop, 0, sizeof *loop);
    loop->acted_us = now_us;
    loop->mode = CONTROL_HOLDS;
}

/* Whether the policy acted; where it did not, `loop->control` is as it was. */
static int acted(struct control_loop *loop, const struct sensors *sensors, uint64_t now_us)
{
    if (now_us < sensors->timestamp_us || now_us - sensors->timestamp_us > SENSORS_VALID_US)
        return 0;
    const int status = policy_act(sensors->observation, loop->control);
    if (status & POLICY_NOT_FINITE)
        return 0;
    loop->saturated += (status & POLICY_SATURATED) != 0;
    return 1;
}

enum control_mode control_step(struct control_loop *loop, const struct sensors *sensors, uint64_t now_us,
                               struct actuators *actuators)
{
    if (loop->mode == CONTROL_FAILSAFE)
        return CONTROL_FAILSAFE;
    if (acted(loop, sensors, now_us)) {
        loop->acted_us = now_us;
        loop->mode = CONTROL_ACTS;
    } else {
        loop->mode = now_us - loop->acted_us > HOLD_US ? CONTROL_FAILSAFE : CONTROL_HOLDS;
    }
    if (loop->mode != CONTROL_FAILSAFE) {
        actuators->timestamp_us = now_us;
        memcpy(actuators->control, loop->control, sizeof loop->control);
    }
    return loop->mode;
}
