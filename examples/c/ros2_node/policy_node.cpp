// A ROS 2 node around a policy: an observation on /observation becomes an action on /action.
// A command that cannot be trusted is not sent: what drives the motors stops them when none comes for some time.
#include <memory>

#include <rclcpp/rclcpp.hpp>
#include <std_msgs/msg/float32_multi_array.hpp>

#include "policy.h"

class PolicyNode : public rclcpp::Node {
public:
    using Array = std_msgs::msg::Float32MultiArray;

    PolicyNode() : Node("policy")
    {
        action_.data.assign(POLICY_ACTION_SIZE, 0.0f);
        // The newest observation is the only one that counts: a queue would only make the robot act late.
        publisher_ = create_publisher<Array>("action", rclcpp::QoS(1));
        subscription_ = create_subscription<Array>("observation", rclcpp::SensorDataQoS().keep_last(1),
                                                   [this](const Array::SharedPtr message) { act(*message); });
        RCLCPP_INFO(get_logger(), "acts with %s kernels", policy_kernel());
    }

private:
    void act(const Array &observation)
    {
        if (observation.data.size() != POLICY_OBSERVATION_SIZE) {
            RCLCPP_ERROR_THROTTLE(get_logger(), *get_clock(), 1000, "%zu values instead of %d",
                                  observation.data.size(), POLICY_OBSERVATION_SIZE);
            return;
        }
        const int status = policy_act(observation.data.data(), action_.data.data());
        if (status & POLICY_NOT_FINITE) {
            RCLCPP_ERROR_THROTTLE(get_logger(), *get_clock(), 1000, "an observation is not finite");
            return;
        }
        if (status & POLICY_SATURATED)
            RCLCPP_WARN_THROTTLE(get_logger(), *get_clock(), 1000, "an observation is outside the calibrated range");
        publisher_->publish(action_);
    }

    Array action_;
    rclcpp::Publisher<Array>::SharedPtr publisher_;
    rclcpp::Subscription<Array>::SharedPtr subscription_;
};

int main(int argc, char **argv)
{
    rclcpp::init(argc, argv);
    rclcpp::spin(std::make_shared<PolicyNode>());
    rclcpp::shutdown();
    return 0;
}
