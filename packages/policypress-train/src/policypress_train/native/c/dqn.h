/* DQN (Mnih et al. 2015), as in Stable-Baselines3: Huber loss, gradient clipping by norm. */
#ifndef PP_DQN_H
#define PP_DQN_H
#include "update.h"

/* TD targets: the next state's value is the target network's largest Q value. */
static void pp_max_q_targets(const pp_update *update, pp_space *space)
{
    const pp_network *target = &update->actor_target;
    const pp_int batch = (pp_int)update->batch, actions = pp_outputs(target, (pp_int)target->count - 1);
    pp_pass *pass = &space->next_pass;
    if (!update->target_cached)
        pp_invalidate(target, 0, -1, &space->target);
    pp_set_input(pass, update->next_observations, (pp_int)update->observation_size);
    pp_forward(target, &space->target, &space->work, batch, pass, 0);
    for (pp_int r = 0; r < batch; r++) {
        const float *values = pass->x[target->count] + r * pass->stride[target->count];
        space->td_targets[r] = values[0];
        for (pp_int i = 1; i < actions; i++)
            space->td_targets[r] = values[i] > space->td_targets[r] ? values[i] : space->td_targets[r];
    }
    pp_bellman(update, space);
}

/* One gradient step of the Q network. `actions` holds the indices of the actions taken. */
static void pp_dqn_step(const pp_update *update, pp_space *space)
{
    const pp_network *net = &update->actor;
    const pp_int batch = (pp_int)update->batch, stride = space->work.gradient_stride;
    pp_pass *pass = &space->actor_pass;
    double loss = 0.0;
    pp_max_q_targets(update, space);
    pp_invalidate(net, 1, -1, &space->actor);
    pp_set_input(pass, update->observations, (pp_int)update->observation_size);
    pp_forward(net, &space->actor, &space->work, batch, pass, 1);
    pp_clear(space->work.gradients[0], batch * stride * (pp_int)sizeof(float));
    for (pp_int r = 0; r < batch; r++) {
        const pp_int action = (pp_int)update->actions[r];
        const float error = pass->x[net->count][r * pass->stride[net->count] + action] - space->td_targets[r];
        const float size = fabsf(error), grad = size < 1.0f ? error : copysignf(1.0f, error);
        space->work.gradients[0][r * stride + action] = grad / (float)batch;
        loss += (double)(size < 1.0f ? 0.5f * error * error : size - 0.5f);
    }
    update->losses[0] = (float)(loss / (double)batch);
    pp_learner learner = {NULL, space->flat_gradients};
    pp_backward(net, &space->actor, &space->work, batch, pass, &learner);
    pp_clip_grad_norm(space->flat_gradients, pp_parameters(net), update->max_grad_norm);
    pp_adam_step_flat(net, &update->actor_adam, space->flat_gradients);
}
#endif
