/* The gradient step of DQN, SAC, TD3, DDPG and PPO, and of TRPO's critic. One thread; nothing is kept
   between calls but what the caller hands in. */
#include "acting.h"
#include "dqn.h"
#include "ppo.h"
#include "sac.h"
#include "td3.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#define PP_PUBLIC __attribute__((visibility("default")))
typedef void (*pp_phase)(const pp_update *update, pp_space *space);

PP_PUBLIC int64_t pp_update_bytes(void);
PP_PUBLIC int64_t pp_scratch_bytes(const pp_update *update);
PP_PUBLIC int pp_may_run(void);
PP_PUBLIC void pp_draw(const pp_memory *memory, const int64_t *places, const pp_update *update);
PP_PUBLIC void pp_learn_sac_values(const pp_update *update);
PP_PUBLIC void pp_learn_sac_actions(const pp_update *update);
PP_PUBLIC void pp_learn_td3_values(const pp_update *update);
PP_PUBLIC void pp_learn_td3_actions(const pp_update *update);
PP_PUBLIC void pp_learn_dqn_values(const pp_update *update);
PP_PUBLIC int64_t pp_rollout_bytes(void);
PP_PUBLIC int64_t pp_rollout_scratch_bytes(const pp_rollout *rollout);
PP_PUBLIC int64_t pp_learn_rollout(const pp_rollout *rollout, const int64_t *places, int64_t count);
PP_PUBLIC void pp_learn_returns(const pp_rollout *rollout, const int64_t *places, int64_t count);
PP_PUBLIC void pp_follow(const pp_network *targets, const pp_network *sources, int64_t count, double tau);
PP_PUBLIC int64_t pp_act(const pp_network *net, const float *input, int64_t rows, int64_t known, void *scratch,
                         float *output);
PP_PUBLIC void pp_explore(const float *given, const float *noise, int64_t rows, int64_t actions, float *chosen);
PP_PUBLIC void pp_product(const float *left, const float *right, int64_t rows, int64_t depth, int64_t columns,
                          int64_t left_transposed, int64_t right_transposed, int64_t exact, void *scratch, float *to);
PP_PUBLIC void pp_quotients(const float *x, int64_t count, float divisor, float *to);
PP_PUBLIC int64_t pp_product_bytes(int64_t rows, int64_t depth, int64_t columns);

/* Numbers below 1e-38 count as 0: Adam's averages of a dead unit end there, and each would cost a hundred cycles. */
static unsigned pp_begin(void)
{
    unsigned before = 0;
#if defined(__x86_64__)
    before = _mm_getcsr();
    _mm_setcsr(before | 0x8040u);
#endif
    pp_begin_products();
    return before;
}

static void pp_end(unsigned before)
{
    pp_end_products();
#if defined(__x86_64__)
    _mm_setcsr(before);
#else
    (void)before;
#endif
}

static void pp_run(const pp_update *update, pp_phase phase)
{
    pp_space *space = (pp_space *)update->scratch;
    const unsigned before = pp_begin();
    pp_carve_space(update, space);
    phase(update, space);
    pp_end(before);
}

/* Size of the structure that is handed in. */
int64_t pp_update_bytes(void)
{
    return (int64_t)sizeof(pp_update);
}

/* Bytes of scratch memory that an update needs, on a cache line; its `scratch` is NULL. */
int64_t pp_scratch_bytes(const pp_update *update)
{
    pp_space space;
    return (int64_t)pp_carve_space(update, &space);
}

/* Whether this processor and system let the kernels run that this was compiled with. */
int pp_may_run(void)
{
    const int may = pp_begin_products();
    if (may)
        pp_end_products();
    return may;
}

/* The transitions at these places of a replay memory become the batch of an update, whose memory is written. */
void pp_draw(const pp_memory *memory, const int64_t *places, const pp_update *update)
{
    const pp_int seen = (pp_int)update->observation_size, done = (pp_int)update->action_size;
    float *observations = (float *)update->observations, *next = (float *)update->next_observations;
    float *actions = (float *)update->actions, *rewards = (float *)update->rewards, *dones = (float *)update->dones;
    for (pp_int r = 0; r < update->batch; r++) {
        const pp_int at = (pp_int)places[r];
        pp_copy(observations + r * seen, memory->observations + at * seen, seen * (pp_int)sizeof(float));
        pp_copy(next + r * seen, memory->next_observations + at * seen, seen * (pp_int)sizeof(float));
        pp_copy(actions + r * done, memory->actions + at * done, done * (pp_int)sizeof(float));
        rewards[r] = memory->rewards[at];
        dones[r] = memory->dones[at] * (1.0f - memory->timeouts[at]);
    }
}

void pp_learn_sac_values(const pp_update *update)
{
    pp_run(update, pp_sac_values);
}
void pp_learn_sac_actions(const pp_update *update)
{
    pp_run(update, pp_sac_actions);
}
void pp_learn_td3_values(const pp_update *update)
{
    pp_run(update, pp_td3_values);
}
void pp_learn_td3_actions(const pp_update *update)
{
    pp_run(update, pp_td3_actions);
}

void pp_learn_dqn_values(const pp_update *update)
{
    pp_run(update, pp_dqn_values);
}

/* Size of the structure that is handed in. */
int64_t pp_rollout_bytes(void)
{
    return (int64_t)sizeof(pp_rollout);
}

/* Bytes of scratch memory that a minibatch needs, on a cache line; its `scratch` is NULL. */
int64_t pp_rollout_scratch_bytes(const pp_rollout *rollout)
{
    pp_rollout_space space;
    return (int64_t)pp_carve_rollout_space(rollout, &space);
}

/* Learn from the steps of a rollout at `count` places, as many as were reserved for or fewer. Gives whether it did: not
   where the policy has moved too far. */
int64_t pp_learn_rollout(const pp_rollout *rollout, const int64_t *places, int64_t count)
{
    const unsigned before = pp_begin();
    const int learned = pp_ppo_minibatch(rollout, places, (pp_int)count);
    pp_end(before);
    return learned;
}

/* The critic learns the returns of the steps at `count` places. */
void pp_learn_returns(const pp_rollout *rollout, const int64_t *places, int64_t count)
{
    const unsigned before = pp_begin();
    pp_returns_minibatch(rollout, places, (pp_int)count);
    pp_end(before);
}

void pp_follow(const pp_network *targets, const pp_network *sources, int64_t count, double tau)
{
    const unsigned before = pp_begin();
    for (int64_t i = 0; i < count; i++)
        pp_follow_network(&targets[i], &sources[i], tau);
    pp_end(before);
}

/* Outputs of a network for a few rows. Gives the bytes of scratch memory, on a cache line; without it nothing else.
   `known` is not 0 where parameters and ranges are those of the last call with this memory. */
int64_t pp_act(const pp_network *net, const float *input, int64_t rows, int64_t known, void *scratch, float *output)
{
    const unsigned before = pp_begin();
    const pp_int bytes = pp_act_rows(net, input, (pp_int)rows, known != 0, scratch, output);
    pp_end(before);
    return (int64_t)bytes;
}

/* Actions between −1 and 1 from what an actor gave: squashed means, moved by noise times their deviations where there
   is noise (then log deviations follow the means in each row). */
void pp_explore(const float *given, const float *noise, int64_t rows, int64_t actions, float *chosen)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < actions; i++) {
            const float *row = given + r * (noise == NULL ? actions : 2 * actions);
            const float moved = noise == NULL ? 0.0f : noise[r * actions + i] * expf(pp_log_std(row[actions + i]));
            chosen[r * actions + i] = tanhf(row[i] + moved);
        }
}

/* One product, with a stride of whole tiles in `to`; for tests. */
void pp_product(const float *left, const float *right, int64_t rows, int64_t depth, int64_t columns,
                int64_t left_transposed, int64_t right_transposed, int64_t exact, void *scratch, float *to)
{
    const pp_finish nothing = {NULL, NULL, 0, NULL, 0, 0.0f, 0.0f};
    pp_arena arena = {(char *)scratch, 0};
    void *a = pp_carve(&arena, pp_left_bytes((pp_int)rows, (pp_int)depth));
    void *b = pp_carve(&arena, pp_right_bytes((pp_int)depth, (pp_int)columns));
    const unsigned before = pp_begin();
    pp_pack_left(left, (pp_int)(left_transposed ? rows : depth), (pp_int)rows, (pp_int)depth, left_transposed != 0,
                 ((int)exact & PP_EXACT_LEFT) != 0 && ((int)exact & PP_EXACT_RIGHT) != 0, a);
    pp_pack_right(right, (pp_int)(right_transposed ? depth : columns), (pp_int)depth, (pp_int)columns,
                  right_transposed != 0, ((int)exact & PP_EXACT_RIGHT) != 0, b);
    pp_multiply(a, b, (pp_int)rows, (pp_int)depth, (pp_int)columns, (int)exact, to, pp_stride((pp_int)columns),
                &nothing);
    pp_end(before);
}

/* Quotients of many numbers and one; for tests. */
void pp_quotients(const float *x, int64_t count, float divisor, float *to)
{
    const float inverse = 1.0f / divisor;
    for (int64_t i = 0; i < count; i++)
        to[i] = pp_quotient(x[i], divisor, inverse);
}

int64_t pp_product_bytes(int64_t rows, int64_t depth, int64_t columns)
{
    return (int64_t)(pp_up(pp_left_bytes((pp_int)rows, (pp_int)depth), PP_LINE) +
                     pp_up(pp_right_bytes((pp_int)depth, (pp_int)columns), PP_LINE));
}
