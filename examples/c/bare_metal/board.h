/* What main.c needs of a board; yours implements it with its drivers. */
#ifndef BOARD_H
#define BOARD_H

/* Clock of SysTick, in Hz: the processor's. */
#define BOARD_CLOCK_HZ 25000000u

/* One observation as the policy was trained on it: same order, same units. Returns 0 where a sensor did not answer. */
int board_read_sensors(float *observation);

/* Commands to the motors, in the range that the header of the policy states. */
void board_drive_motors(const float *action);

/* Motors off: called when the policy cannot be trusted with what the sensors say, and does not come back. */
void board_stop(void);

#endif
