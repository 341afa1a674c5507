// As much of rclcpp's interface as the example uses: observations come from standard input, a message to a line, and
// actions go to standard output as hexadecimal floats.
#pragma once
#include <cstdio>
#include <functional>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace rclcpp {

struct Logger {};
struct Clock {};

class QoS {
public:
    explicit QoS(std::size_t depth) : depth_(depth) {}
    QoS &keep_last(std::size_t depth)
    {
        depth_ = depth;
        return *this;
    }

private:
    std::size_t depth_;
};

class SensorDataQoS : public QoS {
public:
    SensorDataQoS() : QoS(5) {}
};

template <typename Message> class Publisher {
public:
    using SharedPtr = std::shared_ptr<Publisher>;
    explicit Publisher(std::string topic) : topic_(std::move(topic)) {}
    void publish(const Message &message)
    {
        std::printf("%s", topic_.c_str());
        for (float value : message.data)
            std::printf(" %a", static_cast<double>(value));
        std::printf("\n");
    }

private:
    std::string topic_;
};

template <typename Message> struct Subscription {
    using SharedPtr = std::shared_ptr<Subscription>;
};

class Node {
public:
    explicit Node(const std::string &name) : name_(name) {}
    virtual ~Node() = default;
    Logger get_logger() const { return {}; }
    std::shared_ptr<Clock> get_clock() { return std::make_shared<Clock>(); }

    template <typename Value> Value declare_parameter(const std::string &, const Value &value) { return value; }

    template <typename Message> typename Publisher<Message>::SharedPtr create_publisher(const std::string &topic, QoS)
    {
        return std::make_shared<Publisher<Message>>(topic);
    }

    template <typename Message, typename Callback>
    typename Subscription<Message>::SharedPtr create_subscription(const std::string &, QoS, Callback callback)
    {
        receive = [callback](const std::vector<float> &values) {
            auto message = std::make_shared<Message>();
            message->data = values;
            callback(message);
        };
        return std::make_shared<Subscription<Message>>();
    }

    std::function<void(const std::vector<float> &)> receive;

private:
    std::string name_;
};

inline void init(int, char **) {}
inline void shutdown() {}
inline void spin(std::shared_ptr<Node> node)
{
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::vector<float> values;
        for (std::string word; words >> word;)
            values.push_back(std::stof(word));
        node->receive(values);
    }
}

} // namespace rclcpp

#define RCLCPP_INFO(logger, ...) ((void)(logger), std::fprintf(stderr, "info: " __VA_ARGS__), std::fputc('\n', stderr))
#define RCLCPP_ERROR(logger, ...) ((void)(logger), std::fprintf(stderr, "error: " __VA_ARGS__), std::fputc('\n', stderr))
#define RCLCPP_WARN_THROTTLE(logger, clock, period, ...)                                                                \
    ((void)(logger), (void)(clock), std::fprintf(stderr, "warn: " __VA_ARGS__), std::fputc('\n', stderr))
#define RCLCPP_ERROR_THROTTLE(logger, clock, period, ...)                                                               \
    ((void)(logger), (void)(clock), std::fprintf(stderr, "error: " __VA_ARGS__), std::fputc('\n', stderr))
