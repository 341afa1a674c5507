/* One update of an off-policy algorithm: its inputs and what it changes. Filled in by Python, see layout.py. DQN's
   Q network is the `actor`; it has no critics. */
#ifndef PP_UPDATE_H
#define PP_UPDATE_H
#include "passes.h"

#define PP_CRITICS 8

typedef struct {
    /* A batch, contiguous and row-major. */
    const float *observations, *actions, *next_observations, *rewards, *dones;
    const float *discounts;          /* per transition; NULL: `gamma` for all */
    const float *noise, *next_noise; /* standard normal, (batch × actions); TD3 uses only `next_noise` */
    int64_t batch, observation_size, action_size, critic_count;
    pp_network actor, actor_target; /* SAC has no target actor */
    const pp_network *critics, *critic_targets;
    pp_adam actor_adam, critic_adam, temperature_adam;
    pp_tensor log_temperature; /* value is NULL if the temperature is fixed */
    double temperature, target_entropy, gamma;
    double max_grad_norm;  /* DQN's */
    int64_t target_cached; /* DQN's target network has not changed since the last update with this scratch memory */
    float *losses;         /* critic, actor and temperature losses; the temperature */
    void *scratch;
} pp_update;

/* A replay buffer, one row a transition. */
typedef struct {
    const float *observations, *next_observations, *actions, *rewards, *dones, *timeouts;
} pp_memory;

/* Scratch memory of an update. Its phases pass their results on here. */
typedef struct {
    pp_work work;
    pp_operands actor, critic[PP_CRITICS];
    pp_operands target; /* DQN's */
    pp_pass actor_pass, critic_pass[PP_CRITICS];
    pp_pass next_pass;                               /* shares memory with the critics' passes, which come later */
    float *critic_input, *next_critic_input;         /* observations concatenated with actions */
    float *policy_actions, *next_policy_actions;     /* (batch × actions) */
    float *log_prob, *td_targets, *action_gradients; /* (batch); (batch); (batch × actions) */
    float *flat_gradients;                           /* DQN's gradients */
    pp_int critic_input_stride;
} pp_space;

/* Lay out the scratch memory behind `space`, which stands at its beginning; returns the bytes of all. */
static pp_int pp_carve_space(const pp_update *update, pp_space *space)
{
    pp_arena arena = {(char *)update->scratch, pp_up((pp_int)sizeof(pp_space), PP_LINE)};
    pp_needs needs = {0, 0, 0, 0, 0};
    const pp_int batch = (pp_int)update->batch, actions = (pp_int)update->action_size;
    const pp_int critic_inputs = (pp_int)update->observation_size + actions;
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
    arena.taken = pp_max(arena.taken, again.taken);
    space->flat_gradients = update->critic_count > 0 ? NULL : pp_floats(&arena, pp_parameters(&update->actor));
    space->critic_input_stride = pp_stride(critic_inputs);
    space->critic_input = pp_matrix(&arena, batch, critic_inputs);
    space->next_critic_input = pp_matrix(&arena, batch, critic_inputs);
    space->policy_actions = pp_floats(&arena, batch * actions);
    space->next_policy_actions = pp_floats(&arena, batch * actions);
    space->action_gradients = pp_floats(&arena, batch * actions);
    space->log_prob = pp_floats(&arena, batch);
    space->td_targets = pp_floats(&arena, batch);
    return arena.taken;
}

/* Concatenate observations and actions: the critics' input. */
static void pp_concatenate(const pp_update *update, const float *observations, const float *actions, float *to,
                           pp_int stride)
{
    const pp_int obs_size = (pp_int)update->observation_size, action_size = (pp_int)update->action_size;
    for (pp_int r = 0; r < update->batch; r++) {
        pp_copy(to + r * stride, observations + r * obs_size, obs_size * (pp_int)sizeof(float));
        pp_copy(to + r * stride + obs_size, actions + r * action_size, action_size * (pp_int)sizeof(float));
    }
}

/* Bellman backup: target = reward + (1 − done) · discount · next value, which td_targets holds. */
static void pp_bellman(const pp_update *update, pp_space *space)
{
    for (pp_int r = 0; r < update->batch; r++) {
        const float discount = update->discounts == NULL ? (float)update->gamma : update->discounts[r];
        space->td_targets[r] = update->rewards[r] + (1.0f - update->dones[r]) * discount * space->td_targets[r];
    }
}

/* TD targets: the next value is the minimum over target critics − temperature · log_prob (which may be NULL). */
static void pp_td_targets(const pp_update *update, pp_space *space, const float *log_prob, float temperature)
{
    const pp_int batch = (pp_int)update->batch;
    pp_concatenate(update, update->next_observations, space->next_policy_actions, space->next_critic_input,
                   space->critic_input_stride);
    pp_pass *pass = &space->critic_pass[0];
    pp_set_input(pass, space->next_critic_input, space->critic_input_stride);
    for (pp_int c = 0; c < update->critic_count; c++) {
        const pp_network *target = &update->critic_targets[c];
        pp_invalidate(target, 0, -1, &space->critic[0]);
        pp_forward(target, &space->critic[0], &space->work, batch, pass, 0);
        const float *values = pass->x[target->count];
        const pp_int stride = pass->stride[target->count];
        for (pp_int r = 0; r < batch; r++)
            space->td_targets[r] =
                c > 0 && space->td_targets[r] < values[r * stride] ? space->td_targets[r] : values[r * stride];
    }
    for (pp_int r = 0; log_prob != NULL && r < batch; r++)
        space->td_targets[r] -= temperature * log_prob[r];
    pp_bellman(update, space);
}

/* One gradient step of every critic towards the TD targets; the loss is `weight` · MSE, summed over critics. */
static void pp_critic_update(const pp_update *update, pp_space *space, double weight)
{
    const pp_int batch = (pp_int)update->batch, stride = space->work.gradient_stride;
    const float factor = (float)(2.0 * weight / (double)batch);
    double loss = 0.0;
    pp_concatenate(update, update->observations, update->actions, space->critic_input, space->critic_input_stride);
    pp_pass *pass = &space->critic_pass[0];
    pp_operands *operands = &space->critic[0];
    pp_set_input(pass, space->critic_input, space->critic_input_stride);
    for (pp_int c = 0; c < update->critic_count; c++) {
        const pp_network *critic = &update->critics[c];
        pp_invalidate(critic, 1, -1, operands);
        pp_forward(critic, operands, &space->work, batch, pass, 1);
        for (pp_int r = 0; r < batch; r++) {
            const float error = pass->x[critic->count][r * pass->stride[critic->count]] - space->td_targets[r];
            space->work.gradients[0][r * stride] = factor * error;
            loss += (double)error * (double)error;
        }
        pp_learner learner = {&update->critic_adam, NULL};
        pp_backward(critic, operands, &space->work, batch, pass, &learner);
    }
    update->losses[0] = (float)(weight * loss / (double)batch);
}

/* Forward pass of the policy's actions through the first `count` critics, prepared for gradients by the actions. */
static void pp_critic_forward(const pp_update *update, pp_space *space, pp_int count)
{
    pp_concatenate(update, update->observations, space->policy_actions, space->critic_input,
                   space->critic_input_stride);
    for (pp_int c = 0; c < count; c++) {
        const pp_network *critic = &update->critics[c];
        pp_invalidate(critic, 1, (pp_int)update->observation_size, &space->critic[c]);
        pp_set_input(&space->critic_pass[c], space->critic_input, space->critic_input_stride);
        pp_forward(critic, &space->critic[c], &space->work, (pp_int)update->batch, &space->critic_pass[c], 1);
    }
}

static inline float pp_value(const pp_update *update, const pp_space *space, pp_int critic, pp_int r)
{
    const pp_int last = (pp_int)update->critics[critic].count;
    return space->critic_pass[critic].x[last][r * space->critic_pass[critic].stride[last]];
}

/* Backpropagate critic c's value gradients, in work.gradients[0], to the actions; added to space->action_gradients. */
static void pp_action_gradients(const pp_update *update, pp_space *space, pp_int c)
{
    const pp_int batch = (pp_int)update->batch, actions = (pp_int)update->action_size;
    const float *found =
        pp_backward(&update->critics[c], &space->critic[c], &space->work, batch, &space->critic_pass[c], NULL);
    for (pp_int r = 0; r < batch; r++)
        for (pp_int i = 0; i < actions; i++)
            space->action_gradients[r * actions + i] += found[r * space->work.gradient_stride + i];
}
#endif
