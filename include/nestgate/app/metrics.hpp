#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <functional>
#include <string>
#include <vector>

#include "nestgate/api/event_stats.hpp"
#include "nestgate/automation/service.hpp"
#include "nestgate/conversation/manager.hpp"
#include "nestgate/proxy/stats.hpp"

// What `/metrics` shows: prefix nestgate_, base units, labels from enums only (operator.md "Over the wire"). Collectors
// read counters while their cores write them; what they point to outlives them.
namespace nestgate::app {

// The cores' counters, added up.
class ProxyCollector final : public prometheus::Collectable {
 public:
  explicit ProxyCollector(std::vector<proxy::Stats const*> cores) : cores_(std::move(cores)) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  std::vector<proxy::Stats const*> cores_;
};

class ConversationCollector final : public prometheus::Collectable {
 public:
  explicit ConversationCollector(conversation::ManagerStats const& stats) : stats_(stats) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  conversation::ManagerStats const& stats_;
};

class AutomationCollector final : public prometheus::Collectable {
 public:
  explicit AutomationCollector(automation::Stats const& stats) : stats_(stats) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  automation::Stats const& stats_;
};

class EventCollector final : public prometheus::Collectable {
 public:
  explicit EventCollector(api::EventStats const& stats) : stats_(stats) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  api::EventStats const& stats_;
};

// One counter that is read at the scrape: what a part of the gateway counts for itself.
class CounterCollector final : public prometheus::Collectable {
 public:
  // `name` without prefix, ending in _total.
  CounterCollector(std::string name, std::string help, std::function<double()> read);
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  std::string name_, help_;
  std::function<double()> read_;
};

// The version that runs, and the process's CPU time, memory, descriptors and start, named as Prometheus' client
// libraries name them.
class ProcessCollector final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace nestgate::app
