"""RabbitMQ."""

from domogik.daemons.rabbitmq.daemon import ManagedRabbitMQ, RabbitMQDaemon, RabbitMQDaemonError

__all__ = ["ManagedRabbitMQ", "RabbitMQDaemon", "RabbitMQDaemonError"]
