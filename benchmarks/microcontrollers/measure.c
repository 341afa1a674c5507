/* Measures a policy on an emulated microcontroller and prints words: the bytes of stack of an action, and for each
   observation what REPEATS actions took (instructions or cycles, as the board counts) and the bits of the action. */
#include "board.h"
#include "observations.h"
#include "policy.h"

#define PAINT 0xA5u

/* Below this function's own frame nothing lives: it is painted, and what is no longer so afterwards was used. */
__attribute__((noinline)) static uint32_t stack_bytes(const float *observation, float *action)
{
    volatile uint8_t *const bottom = free_memory(), *const top = stack_pointer();
    for (volatile uint8_t *byte = bottom; byte < top; byte++)
        *byte = PAINT;
    policy_act(observation, action);
    volatile uint8_t *lowest = bottom;
    while (lowest < top && *lowest == PAINT)
        lowest++;
    return (uint32_t)(top - lowest);
}

static void observe(float *observation, uint32_t row)
{
    for (uint32_t i = 0; i < POLICY_OBSERVATION_SIZE; i++)
        observation[i] = observations[row * POLICY_OBSERVATION_SIZE + i];
}

static void print_action(float value)
{
    union {
        float value;
        uint32_t bits;
    } word;
    word.value = value;
    print_word(word.bits);
}

int main(void)
{
    static float observation[POLICY_OBSERVATION_SIZE], action[POLICY_ACTION_SIZE];
    start_board();
    print_text(policy_kernel());
    print_text("\n");
    observe(observation, 0);
    print_word(stack_bytes(observation, action));
    for (uint32_t row = 0; row < OBSERVATIONS; row++) {
        observe(observation, row);
        const uint32_t start = counted();
        for (uint32_t i = 0; i < REPEATS; i++)
            policy_act(observation, action);
        print_word(counted() - start);
        for (int i = 0; i < POLICY_ACTION_SIZE; i++)
            print_action(action[i]);
    }
    leave();
    return 0;
}
