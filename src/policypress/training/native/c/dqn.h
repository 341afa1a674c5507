/* DQN (Mnih et al. 2015), as Stable-Baselines3 has it: Huber's loss, gradients of a bounded norm. */
#ifndef PP_DQN_H
#define PP_DQN_H
#include "update.h"

/* What follows is worth the target network's largest value. */
static void pp_find_best(const pp_update *update, pp_space *space)
{
    const pp_network *target = &update->actor_target;
    const pp_int batch = (pp_int)update->batch, actions = pp_outputs(target, (pp_int)target->count - 1);
    pp_pass *pass = &space->next_pass;
    if (!update->target_known)
        pp_renew(target, 0, -1, &space->target);
    pp_read(pass, update->next_observations, (pp_int)update->observation_size);
    pp_forward(target, &space->target, &space->work, batch, pass, 0);
    for (pp_int r = 0; r < batch; r++) {
        const float *values = pass->x[target->count] + r * pass->stride[target->count];
        space->goal[r] = values[0];
        for (pp_int i = 1; i < actions; i++)
            space->goal[r] = values[i] > space->goal[r] ? values[i] : space->goal[r];
    }
    pp_discount(update, space);
}

/* The network learns the goals of the actions taken, whose numbers are in `actions`. */
static void pp_dqn_values(const pp_update *update, pp_space *space)
{
    const pp_network *net = &update->actor;
    const pp_int batch = (pp_int)update->batch, stride = space->work.slope_stride;
    pp_pass *pass = &space->actor_pass;
    double loss = 0.0;
    pp_find_best(update, space);
    pp_renew(net, 1, -1, &space->actor);
    pp_read(pass, update->observations, (pp_int)update->observation_size);
    pp_forward(net, &space->actor, &space->work, batch, pass, 1);
    pp_clear(space->work.slopes[0], batch * stride * (pp_int)sizeof(float));
    for (pp_int r = 0; r < batch; r++) {
        const pp_int action = (pp_int)update->actions[r];
        const float error = pass->x[net->count][r * pass->stride[net->count] + action] - space->goal[r];
        const float size = fabsf(error), slope = size < 1.0f ? error : copysignf(1.0f, error);
        space->work.slopes[0][r * stride + action] = slope / (float)batch;
        loss += (double)(size < 1.0f ? 0.5f * error * error : size - 0.5f);
    }
    update->losses[0] = (float)(loss / (double)batch);
    pp_learner learner = {NULL, space->kept};
    pp_backward(net, &space->actor, &space->work, batch, pass, &learner);
    pp_clip(space->kept, pp_parameters(net), update->longest);
    pp_step_kept(net, &update->actor_adam, space->kept);
}
#endif
