/* One update of an off-policy algorithm: what it reads, what it changes. Python fills it in, see layout.py. DQN's
   network is the `actor`: it has no critics. */
#ifndef PP_UPDATE_H
#define PP_UPDATE_H
#include "passes.h"

#define PP_CRITICS 8

typedef struct {
    /* A batch: row by row, without gaps. */
    const float *observations, *actions, *next_observations, *rewards, *dones;
    const float *discounts;          /* of each transition; NULL where `gamma` is that of all */
    const float *noise, *next_noise; /* standard normal numbers of SAC, (batch × actions); TD3 has `next_noise` alone */
    int64_t batch, observation_size, action_size, critic_count;
    pp_network actor, actor_target; /* SAC has no target of the actor */
    const pp_network *critics, *critic_targets;
    pp_adam actor_adam, critic_adam, temperature_adam;
    pp_tensor log_temperature; /* its value is NULL where the temperature is fixed */
    double temperature, target_entropy, gamma;
    double longest;       /* norm that DQN's gradients may have */
    int64_t target_known; /* DQN's target network is that of the last update with this scratch memory */
    float *losses; /* of critics, actor and temperature; and the temperature */
    void *scratch;
} pp_update;

/* A replay memory: rows of a transition each. */
typedef struct {
    const float *observations, *next_observations, *actions, *rewards, *dones, *timeouts;
} pp_memory;

/* Everything an update has in scratch memory. What one phase of it leaves there, the next finds. */
typedef struct {
    pp_work work;
    pp_operands actor, critic[PP_CRITICS];
    pp_operands target; /* DQN's */
    pp_pass actor_pass, critic_pass[PP_CRITICS];
    pp_pass next_pass;             /* shares its memory with those of the critics, which come later */
    float *joined, *next_joined;   /* observations beside actions */
    float *chosen, *next_chosen;   /* actions, (batch × actions) */
    float *density, *goal, *slope; /* (batch); slopes of actions (batch × actions) */
    float *kept;                   /* gradients of the actor, where it is DQN's network */
    pp_int joined_stride;
} pp_space;

/* Point `space`, which stands at the beginning of the scratch memory, to the rest of it; gives the bytes of all. */
static pp_int pp_carve_space(const pp_update *update, pp_space *space)
{
    pp_arena arena = {(char *)update->scratch, pp_up((pp_int)sizeof(pp_space), PP_LINE)};
    pp_needs needs = {0, 0, 0, 0, 0};
    const pp_int batch = (pp_int)update->batch, actions = (pp_int)update->action_size;
    const pp_int joined = (pp_int)update->observation_size + actions;
    pp_count_needs(&needs, &update->actor, batch);
    if (update->critic_count > 0)
        pp_count_needs(&needs, &update->critics[0], batch);
    pp_carve_work(&arena, &space->work, &needs, batch);
    pp_carve_operands(&arena, &space->actor, &update->actor);
    for (pp_int c = 0; c < update->critic_count; c++)
        pp_carve_operands(&arena, &space->critic[c], &update->critics[c]);
    if (update->critic_count == 0)
        pp_carve_operands(&arena, &space->target, &update->actor_target);
    pp_carve_pass(&arena, &space->actor_pass, &update->actor, batch);
    pp_arena again = arena;
    pp_carve_pass(&again, &space->next_pass, &update->actor, batch);
    for (pp_int c = 0; c < update->critic_count; c++)
        pp_carve_pass(&arena, &space->critic_pass[c], &update->critics[c], batch);
    arena.taken = pp_most(arena.taken, again.taken);
    space->kept = update->critic_count > 0 ? NULL : pp_floats(&arena, pp_parameters(&update->actor));
    space->joined_stride = pp_stride(joined);
    space->joined = pp_matrix(&arena, batch, joined);
    space->next_joined = pp_matrix(&arena, batch, joined);
    space->chosen = pp_floats(&arena, batch * actions);
    space->next_chosen = pp_floats(&arena, batch * actions);
    space->slope = pp_floats(&arena, batch * actions);
    space->density = pp_floats(&arena, batch);
    space->goal = pp_floats(&arena, batch);
    return arena.taken;
}

/* Observations beside actions: what critics read. */
static void pp_join(const pp_update *update, const float *observations, const float *actions, float *to, pp_int stride)
{
    const pp_int seen = (pp_int)update->observation_size, done = (pp_int)update->action_size;
    for (pp_int r = 0; r < update->batch; r++) {
        pp_copy(to + r * stride, observations + r * seen, seen * (pp_int)sizeof(float));
        pp_copy(to + r * stride + seen, actions + r * done, done * (pp_int)sizeof(float));
    }
}

/* goal = reward + (1 − done) · discount · value of what follows, which goal holds. */
static void pp_discount(const pp_update *update, pp_space *space)
{
    for (pp_int r = 0; r < update->batch; r++) {
        const float discount = update->discounts == NULL ? (float)update->gamma : update->discounts[r];
        space->goal[r] = update->rewards[r] + (1.0f - update->dones[r]) * discount * space->goal[r];
    }
}

/* What follows is worth the least value of the targets − temperature · density, which may be NULL. */
static void pp_find_goals(const pp_update *update, pp_space *space, const float *density, float temperature)
{
    const pp_int batch = (pp_int)update->batch;
    pp_join(update, update->next_observations, space->next_chosen, space->next_joined, space->joined_stride);
    pp_pass *pass = &space->critic_pass[0];
    pp_read(pass, space->next_joined, space->joined_stride);
    for (pp_int c = 0; c < update->critic_count; c++) {
        const pp_network *target = &update->critic_targets[c];
        pp_renew(target, 0, -1, &space->critic[0]);
        pp_forward(target, &space->critic[0], &space->work, batch, pass, 0);
        const float *values = pass->x[target->count];
        const pp_int stride = pass->stride[target->count];
        for (pp_int r = 0; r < batch; r++)
            space->goal[r] = c > 0 && space->goal[r] < values[r * stride] ? space->goal[r] : values[r * stride];
    }
    for (pp_int r = 0; density != NULL && r < batch; r++)
        space->goal[r] -= temperature * density[r];
    pp_discount(update, space);
}

/* Every critic learns the goals by the squared error times `weight`; its sum over critics is the loss. */
static void pp_learn_values(const pp_update *update, pp_space *space, double weight)
{
    const pp_int batch = (pp_int)update->batch, stride = space->work.slope_stride;
    const float factor = (float)(2.0 * weight / (double)batch);
    double loss = 0.0;
    pp_join(update, update->observations, update->actions, space->joined, space->joined_stride);
    pp_pass *pass = &space->critic_pass[0];
    pp_operands *operands = &space->critic[0];
    pp_read(pass, space->joined, space->joined_stride);
    for (pp_int c = 0; c < update->critic_count; c++) {
        const pp_network *critic = &update->critics[c];
        pp_renew(critic, 1, -1, operands);
        pp_forward(critic, operands, &space->work, batch, pass, 1);
        for (pp_int r = 0; r < batch; r++) {
            const float error = pass->x[critic->count][r * pass->stride[critic->count]] - space->goal[r];
            space->work.slopes[0][r * stride] = factor * error;
            loss += (double)error * (double)error;
        }
        pp_learner learner = {&update->critic_adam, NULL};
        pp_backward(critic, operands, &space->work, batch, pass, &learner);
    }
    update->losses[0] = (float)(weight * loss / (double)batch);
}

/* Values of chosen actions by the first `count` critics, in their passes, ready for the way back to the actions. */
static void pp_judge(const pp_update *update, pp_space *space, pp_int count)
{
    pp_join(update, update->observations, space->chosen, space->joined, space->joined_stride);
    for (pp_int c = 0; c < count; c++) {
        const pp_network *critic = &update->critics[c];
        pp_renew(critic, 1, (pp_int)update->observation_size, &space->critic[c]);
        pp_read(&space->critic_pass[c], space->joined, space->joined_stride);
        pp_forward(critic, &space->critic[c], &space->work, (pp_int)update->batch, &space->critic_pass[c], 1);
    }
}

static inline float pp_value(const pp_update *update, const pp_space *space, pp_int critic, pp_int r)
{
    const pp_int last = (pp_int)update->critics[critic].count;
    return space->critic_pass[critic].x[last][r * space->critic_pass[critic].stride[last]];
}

/* From the slopes of critic c's values, in work.slopes[0], to those of the actions, added to space->slope. */
static void pp_blame_actions(const pp_update *update, pp_space *space, pp_int c)
{
    const pp_int batch = (pp_int)update->batch, actions = (pp_int)update->action_size;
    const float *found =
        pp_backward(&update->critics[c], &space->critic[c], &space->work, batch, &space->critic_pass[c], NULL);
    for (pp_int r = 0; r < batch; r++)
        for (pp_int i = 0; i < actions; i++)
            space->slope[r * actions + i] += found[r * space->work.slope_stride + i];
}
#endif
