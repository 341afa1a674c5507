/* The board of the bare-metal example in QEMU: sensors are recorded observations, motors print the words of an action. */
#include "board.h"
#include "observations.h"
#include "policy.h"
#include "semihosting.h"

static unsigned row;

int board_read_sensors(float *observation)
{
    if (row == OBSERVATIONS)
        return 0;
    for (int i = 0; i < POLICY_OBSERVATION_SIZE; i++)
        observation[i] = observations[row * POLICY_OBSERVATION_SIZE + i];
    row++;
    return 1;
}

void board_drive_motors(const float *action)
{
    for (int i = 0; i < POLICY_ACTION_SIZE; i++)
        print_float(action[i]);
}

void board_stop(void)
{
    print_text("stop\n");
    leave();
}
