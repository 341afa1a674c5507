/* Runs the control loop: each line of standard input is the time, the age of the sensors (both in microseconds) and an
   observation; each line of standard output the mode, the periods with saturation and the command. */
#include <stdio.h>

#include "control_loop.h"

int main(void)
{
    struct control_loop loop;
    struct sensors sensors = {0};
    struct actuators actuators = {0};
    unsigned long now, age;
    control_start(&loop, 0);
    while (scanf("%lu %lu", &now, &age) == 2) {
        sensors.timestamp_us = now - age;
        for (int i = 0; i < POLICY_OBSERVATION_SIZE; i++)
            if (scanf("%f", &sensors.observation[i]) != 1)
                return 1;
        const enum control_mode mode = control_step(&loop, &sensors, now, &actuators);
        printf("%d %lu %u", (int)mode, (unsigned long)actuators.timestamp_us, (unsigned)loop.saturated);
        for (int i = 0; i < POLICY_ACTION_SIZE; i++)
            printf(" %a", (double)actuators.control[i]);
        printf("\n");
    }
    return 0;
}
