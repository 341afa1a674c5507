"""A ROS 2 package: a node, a launch file, and parameters for topics and the order of joints."""

from __future__ import annotations

from policypress.export.packages.foreign import joint_names, quoted
from policypress.export.packages.policy_in_c import PolicyInC
from policypress_runtime.errors import InputError

HOW = """## Use

    colcon build --packages-select @NAME@
    ros2 launch @NAME@ @NAME@.launch.py

The node takes `std_msgs/Float32MultiArray` on `observation_topic` and publishes an action on `action_topic`.
`config/@NAME@.yaml` has both topics, and `joint_names`: which part of the action is for which joint. It is empty
where the
agent's file does not name them; the node says at its start in which order it acts. A command that cannot be
trusted is not
sent, so the motors' driver needs a timeout."""
_XML = """<?xml version="1.0"?>
<package format="3">
  <name>@NAME@</name>
  <version>@VERSION@</version>
  <description>A reinforcement-learning policy as a node.</description>
  <maintainer email="maintainer@example.com">the maintainer</maintainer>
  <license>MIT</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <depend>rclcpp</depend>
  <depend>std_msgs</depend>
  <exec_depend>launch</exec_depend>
  <exec_depend>launch_ros</exec_depend>
  <export>
    <build_type>ament_cmake</build_type>
  </export>
</package>
"""
_LIST = """cmake_minimum_required(VERSION 3.16)
project(@NAME@ C CXX)
find_package(ament_cmake REQUIRED)
find_package(rclcpp REQUIRED)
find_package(std_msgs REQUIRED)
add_executable(@NAME@_node src/@NAME@_node.cpp src/@NAME@.c)
set_source_files_properties(src/@NAME@.c PROPERTIES COMPILE_OPTIONS "-O3;-ffp-contract=off")
target_compile_features(@NAME@_node PRIVATE cxx_std_17)
ament_target_dependencies(@NAME@_node rclcpp std_msgs)
install(TARGETS @NAME@_node DESTINATION lib/${PROJECT_NAME})
install(DIRECTORY launch config DESTINATION share/${PROJECT_NAME})
ament_package()
"""
_LAUNCH = """import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch_ros.actions import Node


def generate_launch_description():
    parameters = os.path.join(get_package_share_directory("@NAME@"), "config", "@NAME@.yaml")
    return LaunchDescription([Node(package="@NAME@", executable="@NAME@_node", parameters=[parameters])])
"""
_YAML = """@NAME@:
  ros__parameters:
    observation_topic: "observation"
    action_topic: "action"
    # Which part of the action is for which joint, in order.
    joint_names: [@JOINTS@]
"""
_NODE = """// An observation on one topic becomes an action on another.
// A command that cannot be trusted is not sent: what drives the motors stops them when none comes for some time.
#include <memory>
#include <string>
#include <vector>

#include <rclcpp/rclcpp.hpp>
#include <std_msgs/msg/float32_multi_array.hpp>

#include "@NAME@.h"

class PolicyNode : public rclcpp::Node {
public:
    using Array = std_msgs::msg::Float32MultiArray;

    PolicyNode() : Node("@NAME@")
    {
        action_.data.assign(@ACTION_SIZE@, 0.0f);
        const auto from = declare_parameter<std::string>("observation_topic", "observation");
        const auto to = declare_parameter<std::string>("action_topic", "action");
        const auto joints = declare_parameter<std::vector<std::string>>("joint_names", std::vector<std::string>{});
        const bool named = joints.size() > 1 || (joints.size() == 1 && !joints[0].empty());
        for (size_t i = 0; named && i < joints.size(); i++)
            RCLCPP_INFO(get_logger(), "action %zu is for joint %s", i, joints[i].c_str());
        if (named && joints.size() != @ACTION_SIZE@)
            RCLCPP_ERROR(get_logger(), "%zu joint names for %d actions", joints.size(), @ACTION_SIZE@);
        // The newest observation is the only one that counts: a queue would only make the robot act late.
        publisher_ = create_publisher<Array>(to, rclcpp::QoS(1));
        subscription_ = create_subscription<Array>(from, rclcpp::SensorDataQoS().keep_last(1),
                                                   [this](const Array::SharedPtr message) { act(*message); });
        RCLCPP_INFO(get_logger(), "acts with %s kernels", @NAME@_kernel());
    }

private:
    void act(const Array &message)
    {
        if (message.data.size() != @OBSERVATION_SIZE@) {
            RCLCPP_ERROR_THROTTLE(get_logger(), *get_clock(), 1000, "%zu values instead of %d", message.data.size(),
                                  @OBSERVATION_SIZE@);
            return;
        }
        const float *const observation = message.data.data();
        const int status = @CALL@;
        if (status & @MACRO@_NOT_FINITE) {
            RCLCPP_ERROR_THROTTLE(get_logger(), *get_clock(), 1000, "an observation is not finite");
            return;
        }
        if (status & @MACRO@_SATURATED)
            RCLCPP_WARN_THROTTLE(get_logger(), *get_clock(), 1000, "an observation is outside the calibrated range");
        for (size_t i = 0; i < @ACTION_SIZE@; i++)
            action_.data[i] = static_cast<float>(action[i]);
        publisher_->publish(action_);
    }

    @ACTION_KIND@ action[@ACTION_SIZE@];
@SCRATCH@    Array action_;
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
"""


def files(policy: PolicyInC) -> dict[str, bytes]:
    """The package's files, by path.

    Raises:
        InputError: the observation is no single array of floats.
    """
    if len(policy.inputs) != 1 or policy.inputs[0].kind != "float":
        raise InputError(
            "The node of a ROS 2 package takes one array of floats.",
            got=", ".join(f"{part.name}: {part.kind}" for part in policy.inputs),
            expected="an observation that is one vector",
            hint="Choose --package cmake, and fill the arrays in a node of your own.",
        )
    more = {
        "JOINTS": ", ".join(map(quoted, joint_names(policy.contract))) or '""',
        "OBSERVATION_SIZE": policy.inputs[0].size,
        "ACTION_KIND": policy.action.kind,
        "SCRATCH": f"    unsigned char scratch[{policy.scratch_bytes}];\n" if policy.scratch_bytes else "",
    }
    templates = {
        "package.xml": _XML,
        "CMakeLists.txt": _LIST,
        f"launch/{policy.name}.launch.py": _LAUNCH,
        f"config/{policy.name}.yaml": _YAML,
        f"src/{policy.name}_node.cpp": _NODE,
    }
    made = {path: policy.filled(text, **more).encode() for path, text in templates.items()}
    return {**made, **{f"src/{name}": content for name, content in policy.sources.items()}}
